import type { ModelCard } from '#contract/model-card';

/** The facts of a resolved picture that the rules need. */
export interface ImageShape {
  /** its path in the caller's body, such as `messages[0].content[1].image_url.url` */
  readonly param: string;
  readonly width: number;
  readonly height: number;
}

type ImageFormula = NonNullable<ModelCard['tokens']['image']>;

const TILE_PIXELS = 336;
const TILE_TOKENS = 144;

/** The smallest number of tokens that any picture costs: one tile, and the overview. */
export const LEAST_IMAGE_TOKENS = phi3vTokens(1, 1);

/** Limit of long side / short side; beyond it a picture has no row of tiles left. */
export function largestRatio(formula: ImageFormula): number {
  return TILE_PIXELS * formula.num_crops;
}

/**
 * Prompt tokens of one picture, as vLLM's Phi3V processor counts them. The picture is scaled up to as many tiles of 336
 * pixels as `num_crops` allows, each of 144 tokens. An overview of the same size comes before them.
 * @returns 0 for a picture beyond `largestRatio`, which the engine cannot tile
 */
export function imageTokens(formula: ImageFormula, width: number, height: number): number {
  const long = Math.max(width, height);
  const short = Math.min(width, height);
  const ratio = long / short;
  let across = 1;
  while ((across + 1) * Math.ceil((across + 1) / ratio) <= formula.num_crops) across += 1;
  const down = Math.ceil(Math.floor((TILE_PIXELS * across) / ratio) / TILE_PIXELS);
  if (down === 0) return 0;
  return width >= height ? phi3vTokens(across, down) : phi3vTokens(down, across);
}

/** Tiles and overview, a separator, and a line end for each row of the 12 by 12 tokens of a tile. */
function phi3vTokens(columns: number, rows: number): number {
  return (columns * rows + 1) * TILE_TOKENS + 1 + (rows + 1) * 12;
}
