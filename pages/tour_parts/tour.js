// The tour: a small panel over the page and a frame around what the step speaks of. What this browser has seen is in its own storage.

const SEEN = "unified-heatmap-tour"
const MARGIN_PX = 6
let open

function seen() {
  try {
    return localStorage.getItem(SEEN) !== null
  } catch {
    return true // without storage it would come back at every visit
  }
}

function remember() {
  try {
    localStorage.setItem(SEEN, new Date().toISOString())
  } catch {
    return
  }
}

function make(tag, className, text = "") {
  return Object.assign(document.createElement(tag), { className, textContent: text })
}

function targetOf(selector) {
  for (const each of selector.split(",")) {
    const found = document.querySelector(each.trim())
    const box = found?.getBoundingClientRect()
    if (box && box.width > 0 && box.height > 0 && box.right > 0) return box
  }
}

function place(state) {
  const box = targetOf(state.steps[state.at].selector)
  state.frame.hidden = !box
  if (!box) return
  const top = Math.max(box.top - MARGIN_PX, 2)
  const left = Math.max(box.left - MARGIN_PX, 2)
  Object.assign(state.frame.style, {
    top: `${top}px`,
    left: `${left}px`,
    width: `${Math.min(box.right + MARGIN_PX, innerWidth - 2) - left}px`,
    height: `${Math.min(box.bottom + MARGIN_PX, innerHeight - 2) - top}px`,
  })
}

function show(state) {
  const step = state.steps[state.at]
  const isLast = state.at === state.steps.length - 1
  state.title.textContent = step.title
  state.text.textContent = step.text
  state.count.textContent = `${state.at + 1} of ${state.steps.length}`
  state.back.disabled = state.at === 0
  state.next.textContent = isLast ? "Done" : "Next"
  place(state)
}

function close(state) {
  remember()
  removeEventListener("keydown", state.onKey, true)
  removeEventListener("resize", state.onMove)
  removeEventListener("scroll", state.onMove, true)
  state.panel.remove()
  state.frame.remove()
  open = undefined
  state.before?.focus?.()
}

function go(state, by) {
  if (state.at + by >= state.steps.length) return close(state)
  state.at = Math.max(0, state.at + by)
  show(state)
}

function start(steps) {
  if (open) close(open)
  const state = { steps, at: 0, before: document.activeElement }
  state.frame = make("div", "uh-tour-frame")
  state.panel = make("div", "uh-tour")
  state.panel.setAttribute("role", "dialog")
  state.panel.setAttribute("aria-label", "Tour")
  state.panel.setAttribute("aria-live", "polite")
  state.title = make("strong", "uh-tour-title")
  state.text = make("p", "uh-tour-text")
  state.count = make("span", "uh-tour-count")
  state.back = make("button", "uh-tour-button", "Back")
  state.skip = make("button", "uh-tour-button", "Skip")
  state.next = make("button", "uh-tour-button uh-tour-next")
  for (const button of [state.skip, state.back, state.next]) button.type = "button"
  const row = make("div", "uh-tour-row")
  row.append(state.count, state.skip, state.back, state.next)
  state.panel.append(state.title, state.text, row)
  document.body.append(state.frame, state.panel)
  state.back.onclick = () => go(state, -1)
  state.next.onclick = () => go(state, 1)
  state.skip.onclick = () => close(state)
  state.onKey = (event) => {
    if (event.key !== "Escape") return
    event.stopPropagation()
    close(state)
  }
  state.onMove = () => place(state)
  addEventListener("keydown", state.onKey, true)
  addEventListener("resize", state.onMove)
  addEventListener("scroll", state.onMove, true)
  open = state
  show(state)
  state.next.focus({ preventScroll: true })
}

export default function (component) {
  const { data, parentElement } = component
  const asked = data?.again ?? 0
  const before = Number(parentElement.dataset.again ?? 0)
  parentElement.dataset.again = asked
  if (asked > before) start(data.steps)
  else if (!parentElement.dataset.begun && !seen()) start(data.steps)
  parentElement.dataset.begun = "yes"
}
