/** What `make_diagnosis.py` wrote, decoded. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decodePayload } from "../../api/payload";

export function diagnosisResult<Result>(name: string): Result {
  const bytes = readFileSync(join(import.meta.dirname, "diagnosis", `${name}.safetensors`));
  return decodePayload<Result>(Uint8Array.from(bytes).buffer);
}
