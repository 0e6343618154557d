/** Size and orientation from a picture's own bytes. */
export interface Size {
  /** in pixels, before it is turned */
  readonly width: number;
  readonly height: number;
  /** EXIF's tag 274: how it is turned; 1: not turned */
  readonly orientation: number;
}
