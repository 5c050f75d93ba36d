/** The records of the server as views receive them, from the types generated out of its OpenAPI document. */

import type { Decoded } from "./payload";
import type { components } from "./schema";

type Schemas = components["schemas"];

export type AskRequest = Schemas["AskRequest"];
export type ErrorDetail = Schemas["ErrorDetail"];
export type ErrorReply = Schemas["ErrorReply"];
export type Json = RunDetail["settings"][string];
export type LiveMessage = Schemas["LiveMessage"];
export type ReportData = Schemas["ReportData"];
export type RunDetail = Schemas["RunDetail"];
export type RunList = Schemas["RunList"];
export type RunStatus = RunSummary["status"];
export type RunSummary = Schemas["RunSummary"];
export type TableName = Schemas["TableName"];
export type Version = Schemas["Version"];
export type WatchMessage = Schemas["WatchMessage"];

/** Result types by the stem of their schema. */
export type Results = { [Stem in keyof Schemas["Results"]]: Decoded<Schemas["Results"][Stem]> };
export type Calibration = Decoded<Schemas["Calibration"]>;
export type CalibrationFigures = Decoded<Schemas["CalibrationFigures"]>;
export type ClassGeometry = Decoded<Schemas["ClassGeometry"]>;
export type ClassificationEvaluation = Decoded<Schemas["ClassificationEvaluation"]>;
export type CollapseQuantity = Decoded<Schemas["CollapseQuantity"]>;
export type ColumnReport = Decoded<Schemas["ColumnReport"]>;
export type CrossValidation = Decoded<Schemas["CrossValidation"]>;
export type DataReport = Decoded<Schemas["DataReport"]>;
export type Equation = Decoded<Schemas["Equation"]>;
export type ExplainedTerm = Decoded<Schemas["ExplainedTerm"]>;
export type Explanation = Decoded<Schemas["Explanation"]>;
export type InformationPlane = Decoded<Schemas["InformationPlane"]>;
export type LayerCollapse = Decoded<Schemas["LayerCollapse"]>;
export type LayerInformation = Decoded<Schemas["LayerInformation"]>;
export type LayerMap = Decoded<Schemas["LayerMap"]>;
export type LayerOutline = Decoded<Schemas["LayerOutline"]>;
export type LearningRateRange = Decoded<Schemas["LearningRateRange"]>;
export type MarginSummary = Decoded<Schemas["MarginSummary"]>;
export type Margins = Decoded<Schemas["Margins"]>;
export type NetworkOutline = Decoded<Schemas["NetworkOutline"]>;
export type NeuralCollapse = Decoded<Schemas["NeuralCollapse"]>;
export type RegressionCollapse = Decoded<Schemas["RegressionCollapse"]>;
export type RegressionEvaluation = Decoded<Schemas["RegressionEvaluation"]>;
export type ReliabilityBins = Decoded<Schemas["ReliabilityBins"]>;
export type Robustness = Decoded<Schemas["Robustness"]>;
export type RobustnessCurve = Decoded<Schemas["RobustnessCurve"]>;
export type SourceExcerpt = Decoded<Schemas["SourceExcerpt"]>;
export type StepOutline = Decoded<Schemas["StepOutline"]>;
export type StepperEdge = Decoded<Schemas["StepperEdge"]>;
export type StepperLayer = Decoded<Schemas["StepperLayer"]>;
export type StepperStop = Decoded<Schemas["StepperStop"]>;
export type StepperValue = Decoded<Schemas["StepperValue"]>;
export type TraceCheck = Decoded<Schemas["TraceCheck"]>;
export type TraceOutline = Decoded<Schemas["TraceOutline"]>;
export type TraceStepper = Decoded<Schemas["TraceStepper"]>;
export type WhatIf = Decoded<Schemas["WhatIf"]>;
export type WorstExamples = Decoded<Schemas["WorstExamples"]>;
