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

export type ClassificationEvaluation = Decoded<Schemas["ClassificationEvaluation"]>;
export type ColumnReport = Decoded<Schemas["ColumnReport"]>;
export type CrossValidation = Decoded<Schemas["CrossValidation"]>;
export type Curvature = Decoded<Schemas["Curvature"]>;
export type DataReport = Decoded<Schemas["DataReport"]>;
export type Equation = Decoded<Schemas["Equation"]>;
export type ExplainedTerm = Decoded<Schemas["ExplainedTerm"]>;
export type Explanation = Decoded<Schemas["Explanation"]>;
export type Fidelity = Decoded<Schemas["Fidelity"]>;
export type InputFolding = Decoded<Schemas["InputFolding"]>;
export type InputJacobian = Decoded<Schemas["InputJacobian"]>;
export type JacobianEigenbasis = Decoded<Schemas["JacobianEigenbasis"]>;
export type LayerMap = Decoded<Schemas["LayerMap"]>;
export type LayerOutline = Decoded<Schemas["LayerOutline"]>;
export type LearningRateRange = Decoded<Schemas["LearningRateRange"]>;
export type LinearRegions = Decoded<Schemas["LinearRegions"]>;
export type LocalLinearModels = Decoded<Schemas["LocalLinearModels"]>;
export type LossLandscape = Decoded<Schemas["LossLandscape"]>;
export type NetworkOutline = Decoded<Schemas["NetworkOutline"]>;
export type NeuronSurface = Decoded<Schemas["NeuronSurface"]>;
export type PointSet = Decoded<Schemas["PointSet"]>;
export type RegionsOnLine = Decoded<Schemas["RegionsOnLine"]>;
export type RegressionEvaluation = Decoded<Schemas["RegressionEvaluation"]>;
export type SimplificationSummary = Decoded<Schemas["SimplificationSummary"]>;
export type SlicePlane = Decoded<Schemas["SlicePlane"]>;
export type SourceExcerpt = Decoded<Schemas["SourceExcerpt"]>;
export type SpectralDensity = Decoded<Schemas["SpectralDensity"]>;
export type StepOutline = Decoded<Schemas["StepOutline"]>;
export type StepperEdge = Decoded<Schemas["StepperEdge"]>;
export type StepperLayer = Decoded<Schemas["StepperLayer"]>;
export type StepperStop = Decoded<Schemas["StepperStop"]>;
export type StepperValue = Decoded<Schemas["StepperValue"]>;
export type TraceCheck = Decoded<Schemas["TraceCheck"]>;
export type TraceOutline = Decoded<Schemas["TraceOutline"]>;
export type TraceStepper = Decoded<Schemas["TraceStepper"]>;
export type TrainingPath = Decoded<Schemas["TrainingPath"]>;
export type WeightCurve = Decoded<Schemas["WeightCurve"]>;
export type WhatIf = Decoded<Schemas["WhatIf"]>;
export type WorstExamples = Decoded<Schemas["WorstExamples"]>;
