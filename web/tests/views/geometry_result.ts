/** What `make_geometry.py` wrote, decoded. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decodePayload } from "../../api/payload";

export function geometryResult<Result>(name: string): Result {
  const bytes = readFileSync(join(import.meta.dirname, "geometry", `${name}.safetensors`));
  return decodePayload<Result>(Uint8Array.from(bytes).buffer);
}
