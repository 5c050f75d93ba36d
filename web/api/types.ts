/** The records of the server as views receive them, from the types generated out of its OpenAPI document. */

import type { Decoded } from "./payload";
import type { components } from "./schema";

type Schemas = components["schemas"];

export type RunSummary = Schemas["RunSummary"];
export type RunDetail = Schemas["RunDetail"];

export type DataReport = Decoded<Schemas["DataReport"]>;
export type ColumnReport = Decoded<Schemas["ColumnReport"]>;
export type NetworkOutline = Decoded<Schemas["NetworkOutline"]>;
export type LayerOutline = Decoded<Schemas["LayerOutline"]>;
export type ClassificationEvaluation = Decoded<Schemas["ClassificationEvaluation"]>;
export type RegressionEvaluation = Decoded<Schemas["RegressionEvaluation"]>;
export type WorstExamples = Decoded<Schemas["WorstExamples"]>;
export type CrossValidation = Decoded<Schemas["CrossValidation"]>;
export type LearningRateRange = Decoded<Schemas["LearningRateRange"]>;
