import { type ProblemDetails, whatToDo } from "../api/problem.ts";

interface Props {
  readonly problem: ProblemDetails;
  /** Shown as a button when the same request may succeed later. */
  readonly retry?: () => void;
}

/** Title, detail, what to do, the fields it points at, and the request id that the server's log has too. */
export function ProblemNotice({ problem, retry }: Props) {
  const fix = whatToDo(problem);
  return (
    <section class="problem" role="alert">
      <h2>{problem.title}</h2>
      <p>{problem.detail}</p>
      {fix !== null && (
        <p>
          <strong>What to do:</strong> {withCode(fix)}
        </p>
      )}
      {problem.errors !== undefined && problem.errors.length > 0 && (
        <ul>
          {problem.errors.map(({ pointer, detail }) => (
            <li key={pointer + detail}>
              <code>{pointer}</code> {detail === problem.detail ? "" : detail}
            </li>
          ))}
        </ul>
      )}
      <p class="problem-foot">
        {problem.type.startsWith("/problems") ? <a href={problem.type}>{problem.code}</a> : <code>{problem.code}</code>}
        {problem.request_id !== undefined && (
          <>
            {" "}
            · request <code>{problem.request_id}</code>
          </>
        )}
      </p>
      {retry !== undefined && (
        <button type="button" class="button" onClick={retry}>
          Try again
        </button>
      )}
    </section>
  );
}

/** The table writes names of fields between backticks. */
function withCode(text: string) {
  return text.split("`").map((part, i) => (i % 2 === 1 ? <code key={part}>{part}</code> : part));
}
