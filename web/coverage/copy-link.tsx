import { useState } from "preact/hooks";
import { announce } from "../elements/announcer.tsx";
import { copyText } from "../elements/copy-text.ts";

export function CopyLink() {
  const [words, setWords] = useState("Copy link");
  const copy = async () => {
    const said = (await copyText(location.href)) ? "Link copied" : "Copy it from the address bar";
    setWords(said);
    announce(said);
  };
  return (
    <button type="button" class="button" onClick={copy}>
      {words}
    </button>
  );
}
