import { useState } from "preact/hooks";
import { announce } from "../elements/announcer.tsx";

export function CopyLink() {
  const [words, setWords] = useState("Copy link");
  const copy = async () => {
    // Without https a browser gives no clipboard; the address bar has the same.
    const copied = await navigator.clipboard?.writeText(location.href).then(
      () => true,
      () => false,
    );
    const said = copied ? "Link copied" : "Copy it from the address bar";
    setWords(said);
    announce(said);
  };
  return (
    <button type="button" class="button" onClick={copy}>
      {words}
    </button>
  );
}
