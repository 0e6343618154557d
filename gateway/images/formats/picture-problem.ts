/** Why a picture cannot be measured; `message` follows the picture's name: "is a JPEG picture that is cut short". */
export class PictureProblem extends Error {}
