/** What a page is given: where in it the reader is. */
export interface PageProps {
  /** What follows the page's name in the address: `#/coverage/job_1` gives ["job_1"]. */
  readonly rest: readonly string[];
  readonly query: URLSearchParams;
}
