import { render } from "preact";
import "../styles/tokens.css";
import "../styles/base.css";
import "../styles/elements.css";
import "../styles/shell.css";
import { App } from "./app.tsx";

render(<App />, document.body);
