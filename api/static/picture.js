// The image as the browser shows it, upright. One of 100 megapixels is shown smaller: at full size it would take 400 MB
// for as long as it is seen.

const MOST_PIXELS = 12e6
const SHOWN_SIDE = 2400

/** { node, width, height } of the upright image, or null for one that this browser cannot show, such as HEIC. */
export async function pictureOf(blob) {
  const image = new Image()
  image.alt = ""
  image.decoding = "async"
  const url = URL.createObjectURL(blob)
  try {
    await loaded(image, url)
  } catch {
    URL.revokeObjectURL(url)
    return null
  }
  const size = { width: image.naturalWidth, height: image.naturalHeight }
  if (size.width * size.height <= MOST_PIXELS) return { node: image, ...size, release: () => URL.revokeObjectURL(url) }
  image.src = ""
  URL.revokeObjectURL(url)
  return smaller(blob, size)
}

export function loaded(image, url) {
  return new Promise((resolve, reject) => {
    image.onload = () => resolve(image)
    image.onerror = () => reject(new Error("not an image"))
    image.src = url
  })
}

async function smaller(blob, size) {
  const scale = Math.min(1, SHOWN_SIDE / Math.max(size.width, size.height))
  const [width, height] = [size.width, size.height].map((side) => Math.max(1, Math.round(side * scale)))
  try {
    const bitmap = await createImageBitmap(blob, { resizeWidth: width, resizeHeight: height, resizeQuality: "medium" })
    const canvas = Object.assign(document.createElement("canvas"), { width, height })
    canvas.getContext("2d").drawImage(bitmap, 0, 0, width, height)
    bitmap.close()
    return { node: canvas, ...size, release: () => Object.assign(canvas, { width: 0, height: 0 }) }
  } catch {
    return null // more than this device can decode
  }
}
