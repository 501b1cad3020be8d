// The saved layouts: a field for the name of this one, and a line each of the others. A layout is a link; opening it loads the page.
// Names are written as text. What is sent is checked on the other side.

const lists = new WeakMap()

function part(className, parent, tag = "div", text) {
  const made = document.createElement(tag)
  made.className = className
  if (text !== undefined) made.textContent = text
  parent.append(made)
  return made
}

function button(parent, label, glyph, act) {
  const made = part("act", parent, "button", glyph)
  made.type = "button"
  made.title = label
  made.setAttribute("aria-label", label)
  made.onclick = act
  return made
}

function here() {
  return { page: location.pathname, query: location.search }
}

function absolute(data, address) {
  return new URL(`${data.base}/${address}`, location.origin).href
}

function beginRename(state, row, line) {
  const field = part("field", line, "input")
  field.value = row.name
  field.maxLength = state.data.longest_name
  field.setAttribute("aria-label", `New name of ${row.name}`)
  line.replaceChildren(field)
  const end = (isKept) => {
    field.onblur = null
    if (isKept && field.value.trim() && field.value.trim() !== row.name) state.tell({ do: "rename", id: row.id, name: field.value })
    fill(state)
  }
  field.onkeydown = (event) => {
    if (event.key === "Enter") end(true)
    if (event.key === "Escape") end(false)
    event.stopPropagation()
  }
  field.onblur = () => end(true)
  field.focus()
  field.select()
}

async function copy(state, row, pressed) {
  try {
    await navigator.clipboard.writeText(absolute(state.data, row.address))
    pressed.textContent = "✓"
  } catch {
    pressed.textContent = "!"
    pressed.title = "The browser did not allow it; open the layout and copy its address"
  }
  setTimeout(() => (pressed.textContent = "⧉"), 1500)
}

function fill(state) {
  const { data, list } = state
  list.replaceChildren()
  if (!data.rows.length) part("none", list, "li", "None saved yet.")
  for (const row of data.rows) {
    const line = part("line", list, "li")
    const link = part("open", line, "a")
    link.href = absolute(data, row.address)
    part("name", link, "span", row.name)
    part("words", link, "span", row.words)
    const acts = part("acts", line)
    const start = button(acts, row.is_start ? `${row.name} is your start page; press to have none` : `Begin visits with ${row.name}`,
      row.is_start ? "★" : "☆", () => state.tell({ do: "start", id: row.is_start ? null : row.id }))
    start.setAttribute("aria-pressed", String(row.is_start))
    const copied = button(acts, `Copy the link of ${row.name}`, "⧉", () => copy(state, row, copied))
    button(acts, `Keep what is shown now as ${row.name}`, "⟳", () => state.tell({ do: "replace", id: row.id, ...here() }))
    button(acts, `Rename ${row.name}`, "✎", () => beginRename(state, row, line))
    button(acts, `Delete ${row.name}`, "×", () => state.tell({ do: "delete", id: row.id }))
  }
}

function mount(parent) {
  const root = part("layouts", parent)
  const form = part("save", root, "form")
  const field = part("field", form, "input")
  field.placeholder = "Name of what is shown now"
  field.setAttribute("aria-label", "Name of the layout that is shown now")
  const state = { form, field, list: part("list", root, "ul") }
  part("keep", form, "button", "Save").type = "submit"
  form.onsubmit = (event) => {
    event.preventDefault()
    if (!field.value.trim()) return
    state.tell({ do: "save", name: field.value, ...here() })
    field.value = ""
  }
  return state
}

export default function (component) {
  const { parentElement, data, setTriggerValue } = component
  let state = lists.get(parentElement)
  if (!state) lists.set(parentElement, (state = mount(parentElement)))
  state.tell = (wish) => setTriggerValue("wish", wish)
  state.field.maxLength = data.longest_name
  state.form.hidden = !data.may_save
  const told = JSON.stringify(data)
  if (told === state.told) return
  state.told = told
  state.data = data
  fill(state)
}
