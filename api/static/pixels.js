// Masks and depths: PNGs as large as the image, made into pictures of at most a megapixel to be laid over it.

import { loaded } from "./picture.js"

const MOST_SIDE = 1000
const HALF = 127
const INSIDE = 0.45 // opacity; a mask's rim is opaque
// Five colours of "inferno" (CC0, https://bids.github.io/colormap/), dark for the minimum, as in the server's drawings.
const DEPTHS = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]]

/** { url, box, pixels, has } of a mask in base64: its picture where it is, and whether a place is in it. */
export async function maskOf(base64, size, color) {
  const { grid, width, height, scale } = await read(`data:image/png;base64,${base64}`, size)
  const box = bounds(grid, width, height)
  const isIn = (column, row) => column >= 0 && row >= 0 && column < width && row < height && grid[row * width + column] > HALF
  if (!box) return { url: "", box: { xmin: 0, ymin: 0, xmax: 0, ymax: 0 }, pixels: 0, has: () => false }
  let pixels = 0
  const url = painted(box.right - box.left, box.bottom - box.top, (column, row) => {
    const [x, y] = [column + box.left, row + box.top]
    if (!isIn(x, y)) return [0, 0, 0, 0]
    pixels += 1
    const isRim = !(isIn(x - 1, y) && isIn(x + 1, y) && isIn(x, y - 1) && isIn(x, y + 1))
    return [...parts(color), 255 * (isRim ? 1 : INSIDE)]
  })
  return {
    url, pixels: pixels / (scale * scale),
    box: { xmin: box.left / scale, ymin: box.top / scale, xmax: box.right / scale, ymax: box.bottom / scale },
    has: (x, y) => isIn(Math.floor(x * scale), Math.floor(y * scale)),
  }
}

/** { url, at } of a depth's data URL: its picture in colours, and the depth at a place, from 0 to 1. */
export async function depthOf(url, size) {
  const { grid, width, height, scale } = await read(url, size)
  const palette = Array.from({ length: 256 }, (_, value) => between(value / 255))
  return {
    url: painted(width, height, (column, row) => palette[grid[row * width + column]]),
    at: (x, y) => grid[clamp(Math.floor(y * scale), height) * width + clamp(Math.floor(x * scale), width)] / 255,
  }
}

const clamp = (value, end) => Math.min(end - 1, Math.max(0, value))

/** The brightness of a picture, made smaller, one byte a pixel. */
async function read(url, size) {
  if (!/^data:image\/png;base64,[A-Za-z0-9+/=]+$/.test(url)) throw new Error("not a PNG")
  const scale = Math.min(1, MOST_SIDE / Math.max(size.width, size.height))
  const [width, height] = [size.width, size.height].map((side) => Math.max(1, Math.round(side * scale)))
  const canvas = Object.assign(document.createElement("canvas"), { width, height })
  const pen = canvas.getContext("2d", { willReadFrequently: true })
  pen.drawImage(await loaded(new Image(), url), 0, 0, width, height)
  const colors = pen.getImageData(0, 0, width, height).data
  const grid = new Uint8Array(width * height)
  for (let index = 0; index < grid.length; index += 1) grid[index] = colors[4 * index]
  return { grid, width, height, scale }
}

function painted(width, height, colorAt) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height })
  const pen = canvas.getContext("2d")
  const image = pen.createImageData(width, height)
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) image.data.set(colorAt(column, row), 4 * (row * width + column))
  }
  pen.putImageData(image, 0, 0)
  return canvas.toDataURL()
}

function bounds(grid, width, height) {
  let [left, top, right, bottom] = [width, height, 0, 0]
  for (let index = 0; index < grid.length; index += 1) {
    if (grid[index] <= HALF) continue
    const [column, row] = [index % width, Math.floor(index / width)]
    ;[left, right] = [Math.min(left, column), Math.max(right, column + 1)]
    ;[top, bottom] = [Math.min(top, row), Math.max(bottom, row + 1)]
  }
  return right ? { left, top, right, bottom } : null
}

function between(share) {
  const place = share * (DEPTHS.length - 1)
  const below = Math.min(DEPTHS.length - 2, Math.floor(place))
  const mixed = DEPTHS[below].map((part, index) => part + (DEPTHS[below + 1][index] - part) * (place - below))
  return [...mixed, 255]
}

const parts = (color) => [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16))
