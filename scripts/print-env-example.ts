// Writes .env.example from the configuration's schema.
import { writeFileSync } from "node:fs";
import { describeConfig } from "../platform/config.ts";

writeFileSync(".env.example", describeConfig());
