// Small heatmaps, each on a canvas: the codes of a matrix as pixels, stretched without smoothing, the price over them. A map is
// painted anew only where its bytes say something new. Reader and words come from live_chart/wire.js and words.js.

const NOTHING_SEEN = 255
const grids = new WeakMap()

function part(className, parent, tag = "div") {
  const made = document.createElement(tag)
  made.className = className
  parent.append(made)
  return made
}

function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16))
}

// Colours of the codes 1 … 254 between `low` and `high`, as the large charts have them.
function ramp(colours, low, high) {
  const stops = colours.map(rgb)
  return Array.from({ length: 256 }, (_, code) => {
    const share = Math.min(1, Math.max(0, (code - low) / Math.max(1, high - low))) * (stops.length - 1)
    const first = Math.min(Math.floor(share), stops.length - 2)
    return [0, 1, 2].map((at) => stops[first][at] + (share - first) * (stops[first + 1][at] - stops[first][at]))
  })
}

function pixels(map, matrices, colours) {
  const parts = map.matrices.map((name) => matrices[`${map.key}/${name}`])
  const ramps = map.matrices.map((name) => ramp(colours[name === "book" ? "heat" : name], map.low, map.high))
  const { rows, columns } = parts[0]
  const image = new ImageData(columns, rows)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const cell = row * columns + column
      let chosen = 0
      if (parts.length === 2) {
        const [long, short] = parts.map((each) => (each.codes[cell] === NOTHING_SEEN ? 0 : each.codes[cell]))
        chosen = short > long ? 1 : 0
      }
      const code = parts[chosen].codes[cell]
      const at = ((rows - 1 - row) * columns + column) * 4
      if (code === NOTHING_SEEN) image.data.set([132, 147, 168, (row + column) % 4 === 0 ? 70 : 26], at)
      else if (code > 0) image.data.set([...ramps[chosen][code], 255], at)
    }
  }
  return image
}

function linePath(context, map, matrix, width, height) {
  const [first, last] = [matrix.time_edges_ms[0], matrix.time_edges_ms.at(-1)]
  const x = (ms) => ((ms - first) / (last - first)) * width
  const y = (price) => height - ((price - map.price_low) / (map.price_high - map.price_low)) * height
  context.beginPath()
  let isOpen = false
  map.prices.forEach((price, index) => {
    if (Number.isNaN(price)) isOpen = false
    else {
      context[isOpen ? "lineTo" : "moveTo"](x(map.times_ms[index]), y(price))
      isOpen = true
    }
  })
  return y
}

function paint(card, map, matrices, colours) {
  const { canvas } = card
  const ratio = Math.min(window.devicePixelRatio || 1, 2)
  const [width, height] = [canvas.clientWidth, canvas.clientHeight]
  if (!width || !height) return
  canvas.width = width * ratio
  canvas.height = height * ratio
  const context = canvas.getContext("2d")
  context.scale(ratio, ratio)
  context.fillStyle = colours.plot
  context.fillRect(0, 0, width, height)
  if (!map.matrices.length) return
  const matrix = matrices[`${map.key}/${map.matrices[0]}`]
  const image = pixels(map, matrices, colours)
  const source = new OffscreenCanvas(image.width, image.height)
  source.getContext("2d").putImageData(image, 0, 0)
  context.imageSmoothingEnabled = false
  context.drawImage(source, 0, 0, width, height)
  const y = linePath(context, map, matrix, width, height)
  context.lineJoin = "round"
  for (const [colour, size] of [[colours.halo, 3.4], [colours.line, 1.3]]) {
    context.strokeStyle = colour
    context.lineWidth = size
    context.stroke()
  }
  if (map.mark_price !== null) {
    context.setLineDash([4, 3])
    context.strokeStyle = colours.muted
    context.lineWidth = 1
    context.beginPath()
    context.moveTo(0, y(map.mark_price))
    context.lineTo(width, y(map.mark_price))
    context.stroke()
    context.setLineDash([])
  }
  if (map.price !== null) {
    context.fillStyle = colours.line
    context.beginPath()
    context.arc(width - 4, y(map.price), 2.6, 0, 2 * Math.PI)
    context.fill()
  }
}

function read(card, event) {
  const { map, matrices } = card
  if (!map?.matrices.length) return
  const box = card.canvas.getBoundingClientRect()
  const matrix = matrices[`${map.key}/${map.matrices[0]}`]
  const column = Math.min(matrix.columns - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * matrix.columns)))
  const row = Math.min(matrix.rows - 1, Math.max(0, Math.floor((1 - (event.clientY - box.top) / box.height) * matrix.rows)))
  const amounts = map.matrices.map((name) => {
    const each = matrices[`${map.key}/${name}`]
    const code = each.codes[row * each.columns + column]
    if (code === NOTHING_SEEN) return "not watched"
    const told = code === 0 ? "0 $" : usd(each.usd_min * each.usd_ratio ** (code - 1))
    return name === "book" ? told : `${name} ${told}`
  })
  const price = (matrix.price_edges[row] + matrix.price_edges[row + 1]) / 2
  card.read.textContent = `${clock(matrix.time_edges_ms[column])} · ${priceWords(price, map.decimals)} · ${[...new Set(amounts)].join(", ")}`
}

function address(id) {
  const asked = new URLSearchParams(location.search)
  for (const name of [...asked.keys()]) if (name.startsWith("watch_")) asked.delete(name)
  asked.set("instrument", id)
  return `${new URL(".", location.href).pathname}?${asked}`
}

function makeCard(state) {
  const link = part("map", state.grid, "a")
  const head = part("head", link)
  const picture = part("picture", link)
  const card = { link, name: part("name", head, "span"), price: part("price", head, "span") }
  card.canvas = part("", picture, "canvas")
  card.canvas.setAttribute("role", "img")
  card.read = part("read", picture)
  card.detail = part("detail", link)
  picture.onpointermove = (event) => read(card, event)
  picture.onpointerleave = () => (card.read.textContent = "")
  return card
}

function renew(card, map, message) {
  Object.assign(card, { map, matrices: message.matrices, colours: message.figure.colours })
  card.link.href = address(map.key)
  card.name.textContent = map.name
  card.price.textContent = map.head
  card.detail.textContent = map.detail
  card.detail.title = map.detail
  card.canvas.setAttribute("aria-label", map.alt)
  paint(card, map, message.matrices, message.figure.colours)
}

function mount(parent) {
  const root = part("maps", parent)
  const state = { root, grid: part("grid", root), cards: [], sequence: 0 }
  state.observer = new ResizeObserver(() => {
    for (const card of state.cards) if (card.map) paint(card, card.map, card.matrices, card.colours)
  })
  state.observer.observe(root)
  return state
}

export default function (component) {
  const { parentElement, data } = component
  let state = grids.get(parentElement)
  if (!state) grids.set(parentElement, (state = mount(parentElement)))
  const sequence = ++state.sequence
  unpack(data).then((message) => {
    if (sequence !== state.sequence) return // a newer one came while this was inflated
    const begun = performance.now()
    const { maps, across } = message.figure
    state.grid.style.setProperty("--across", across)
    while (state.cards.length > maps.length) state.cards.pop().link.remove()
    while (state.cards.length < maps.length) state.cards.push(makeCard(state))
    maps.forEach((map, index) => renew(state.cards[index], map, message))
    state.root.dataset.paintMs = (performance.now() - begun).toFixed(1)
    state.root.dataset.revision = message.revision
  })
  return () => state.observer.disconnect()
}
