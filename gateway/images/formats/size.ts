/** What a picture's own bytes say of it. */
export interface Size {
  /** in pixels, before it is turned */
  readonly width: number;
  readonly height: number;
  /** EXIF's tag 274: how it is turned; 1 where it is not */
  readonly orientation: number;
}
