// Sizes and arrays of the screening kernels.

import { add, type Expr, i32, mul } from "./assembler.ts";

export interface ScreeningSizes {
  readonly dModel: number;
  readonly width: number;
  /** Rows screened at a time: the lanes R of every array below. */
  readonly rows: number;
  /** Features whose largest lower bound stands for them all. */
  readonly groupSize: number;
  /** Parts of the dictionary whose candidates have a place each, and how many candidates fit there. */
  readonly parts: number;
  readonly partCapacity: number;
  /** Largest magnitude of a weight's integer, and what is added to store it as an unsigned byte. */
  readonly weightLevels: number;
  /** Share of the certain bound that roundings of mixed signs are given. */
  readonly margin: number;
}

export type ScreeningAddresses = Readonly<
  Record<
    | "x_BD"
    | "centre_D"
    | "quantised_FD"
    | "scale_F"
    | "norm_F"
    | "residue_F"
    | "bias_F"
    | "slack_F"
    | "quantised_DR"
    | "perScale_R"
    | "norm_R"
    | "residue_R"
    | "spread_R"
    | "acc_FR"
    | "maxima_RG"
    | "least_R"
    | "candidatesFrom_F"
    | "candidatesTo_F"
    | "candidateLane_C"
    | "candidateValue_C"
    | "overflow"
    | "rowFrom_R"
    | "rowTo_R"
    | "rowFeature_C"
    | "rowValue_C"
    | "count_R"
    | "chosenFeature_RK"
    | "chosenValue_RK",
    number
  >
>;

/** Address of word `index` of an array. */
export const wordAt = (address: number, index: Expr<"i32">): Expr<"i32"> => add(i32(address), mul(index, i32(4)));
