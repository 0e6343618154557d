/** Why a picture cannot be measured; `message` goes on after the picture's name: "is a JPEG picture that is cut short". */
export class PictureProblem extends Error {}
