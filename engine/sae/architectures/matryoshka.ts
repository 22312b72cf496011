// Matryoshka TopK: TopK whose first features must do well on their own, so that the general ones come first and the
// special ones do not take their place.

/** The shares of the features in each nested part, as in the public trainers of the authors: the last is the whole dictionary. */
const blockShares = [1 / 32, 1 / 16, 1 / 8, 1 / 4, 17 / 32];

/**
 * Where the nested dictionaries end unless asked otherwise: 1/32, 3/32, 7/32, 15/32 and all of the features. Parts that a
 * narrow sae would leave empty are left out.
 *
 *     x̂_m = Σ_{f < end_m} z_f · W_dec[f] + b_dec            loss = Σ_m fvu(x̂_m) + auxCoefficient · aux
 *
 * z is TopK's over the whole dictionary; aux is of the whole dictionary's error. A feature's gradient is the sum over the dictionaries
 * that hold it, hence those of the first features are the largest. Source: Bussmann, Nabeshima, Karvonen and Nanda 2025 (Matryoshka), §3.
 */
export function defaultPrefixes(width: number): number[] {
  let share = 0;
  const ends = blockShares.map((part) => {
    share += part;
    return Math.round(share * width);
  });
  return [...new Set(ends)].filter((end) => end > 0);
}
