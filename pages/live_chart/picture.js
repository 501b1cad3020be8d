// The chart as a PNG: grounds, heat and colour bars of ours, then Plotly's lines and labels over them.

const PICTURE_SCALE = 2

function loadImage(source) {
  return new Promise((resolve, reject) => {
    const image = new Image()
    image.onload = () => resolve(image)
    image.onerror = () => reject(new Error("the chart could not be turned into a picture"))
    image.src = source
  })
}

function drawBarsOn(context, state) {
  const style = getComputedStyle(state.root)
  const [origin, scale] = [state.root.getBoundingClientRect(), PICTURE_SCALE]
  for (const bar of state.bars) {
    const place = bar.picture.getBoundingClientRect()
    const [x, y] = [(place.left - origin.left) * scale, (place.top - origin.top) * scale]
    context.drawImage(bar.picture, x, y, place.width * scale, place.height * scale)
    context.font = `${10 * scale}px ${style.fontFamily}`
    context.fillStyle = getComputedStyle(bar.ticks).color
    context.textBaseline = "bottom"
    for (const label of bar.ticks.children) {
      const text = label.getBoundingClientRect()
      context.fillText(label.textContent, (text.left - origin.left) * scale, y - scale)
    }
  }
}

async function pictureOf(state) {
  const { width, height } = state.gd._fullLayout
  const source = await state.plotly.toImage(state.gd, { format: "svg", width, height })
  const lines = await loadImage(source)
  const canvas = document.createElement("canvas")
  if (state.panels.length) paintHeat(state, canvas, PICTURE_SCALE)
  else Object.assign(canvas, { width: width * PICTURE_SCALE, height: height * PICTURE_SCALE })
  const context = canvas.getContext("2d")
  context.drawImage(lines, 0, 0, canvas.width, canvas.height)
  if (state.panels.length) drawBarsOn(context, state)
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"))
}

async function download(state) {
  const address = URL.createObjectURL(await pictureOf(state))
  Object.assign(document.createElement("a"), { href: address, download: "unified-heatmap.png" }).click()
  setTimeout(() => URL.revokeObjectURL(address), 10000)
}
