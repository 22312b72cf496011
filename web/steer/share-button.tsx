import { useState } from "preact/hooks";
import { copyText } from "../elements/copy-text.ts";
import { goTo, linkTo } from "../shell/router.ts";
import { encodeForm } from "./share-link.ts";
import type { SteerForm } from "./steer-form.ts";

/** Copies an address that opens this form; the prompt stays behind the "#", which no server sees. */
export function ShareButton({ form }: { readonly form: SteerForm }) {
  const [said, setSaid] = useState("");
  const share = async () => {
    goTo(linkTo("steer", [], { form: encodeForm(form) }), { replace: true });
    const copied = await copyText(location.href);
    setSaid(copied ? "Copied." : "The link is in the address bar.");
  };
  return (
    <div class="button-row">
      <button type="button" class="button" onClick={share}>
        Copy link
      </button>
      <span class="small soft" role="status">
        {said}
      </span>
    </div>
  );
}
