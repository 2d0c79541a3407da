// The list of frames. Only the rows in sight are elements of the page, so ten thousand frames scroll as ten do.
const ROW = 22;

function element(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

function hex(text) {
  const bytes = [...new TextEncoder().encode(text)];
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = bytes.slice(at, at + 16);
    const codes = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ").padEnd(48);
    lines.push(`${at.toString(16).padStart(4, "0")}  ${codes} ${part.map((byte) =>
      byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".").join("")}`);
  }
  return lines.join("\n");
}

function formatted(frame, form) {
  if (form === "hex") return frame.opcode === "binary" ? frame.preview : hex(frame.preview);
  if (form === "json") {
    try { return JSON.stringify(JSON.parse(frame.preview), null, 2); } catch { return `(not JSON)\n${frame.preview}`; }
  }
  return frame.preview || "(no payload)";
}

function render({ model, el }) {
  let frames = [], shown = [], selected = null, paused = false, form = "text", waiting = false;

  const style = element("style", { textContent: model.get("style") });
  const filter = element("input", { type: "search", placeholder: "Filter", ariaLabel: "Filter frames by text" });
  const kind = element("select", { ariaLabel: "Kind of frame" },
    ...["all", "text", "binary", "ping", "pong", "close"].map((name) => element("option", { textContent: name })));
  const pause = element("button", { type: "button", textContent: "Pause" });
  const count = element("span", { className: "dim" });
  const forms = ["text", "json", "hex"].map((name) => element("button", { type: "button", textContent: name }));
  const spacer = element("div");
  const list = element("div", { className: "frames", tabIndex: 0, role: "listbox", ariaLabel: "Frames" }, spacer);
  const payload = element("pre", { tabIndex: 0, ariaLabel: "Payload" });
  const root = element("div", { className: "wv fi" },
    element("div", { className: "bar" }, filter, kind, pause, count), list,
    element("div", { className: "bar" }, element("span", { className: "dim", textContent: "Payload as" }), ...forms),
    payload);
  el.append(style, root);

  function matches(frame) {
    return (kind.value === "all" || frame.opcode === kind.value) &&
      `${frame.opcode} ${frame.preview}`.toLowerCase().includes(filter.value.toLowerCase());
  }

  function row(frame, index) {
    const before = index ? shown[index - 1].at : frame.at;
    const cells = [frame.direction === "in" ? "→" : "←", frame.opcode, `${frame.length} B`,
      `+${((frame.at - before) * 1000).toFixed(0)} ms`, frame.preview];
    const made = element("div", { className: `row ${frame.opcode}`, role: "option", id: `frame-${frame.seq}` },
      ...cells.map((text) => element("span", { textContent: text })));
    made.style.top = `${index * ROW}px`;
    made.ariaSelected = String(frame === selected);
    made.ariaLabel = `${frame.direction === "in" ? "client to function" : "function to client"}, ${frame.opcode}, ` +
      `${frame.length} bytes: ${frame.preview}`;
    made.onclick = () => select(index);
    return made;
  }

  function draw() {
    waiting = false;
    spacer.style.height = `${shown.length * ROW}px`;
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 2);
    const last = Math.min(shown.length, first + Math.ceil(list.clientHeight / ROW) + 4);
    spacer.replaceChildren(...shown.slice(first, last).map((frame, number) => row(frame, first + number)));
    count.textContent = `${shown.length} of ${frames.length} frames${paused ? ", paused" : ""}`;
    for (const button of forms) button.ariaPressed = String(button.textContent === form);
    payload.textContent = selected ? formatted(selected, form) : "Select a frame.";
    if (selected) list.setAttribute("aria-activedescendant", `frame-${selected.seq}`);
  }

  function later() {
    if (!waiting) { waiting = true; requestAnimationFrame(draw); }
  }

  function select(index) {
    selected = shown[Math.min(Math.max(index, 0), shown.length - 1)] ?? null;
    const top = shown.indexOf(selected) * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    later();
  }

  function refilter() {
    shown = frames.filter(matches);
    later();
  }

  list.onscroll = later;
  list.onkeydown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (step) { event.preventDefault(); event.stopPropagation(); select(shown.indexOf(selected) + step); }
  };
  filter.oninput = kind.onchange = refilter;
  pause.onclick = () => {
    paused = !paused;
    pause.textContent = paused ? "Continue" : "Pause";
    refilter();
  };
  for (const button of forms) button.onclick = () => { form = button.textContent; later(); };

  function arrived(message) {
    const known = new Set(frames.slice(-200).map((frame) => frame.seq));
    const fresh = message.frames.filter((frame) => !known.has(frame.seq));
    frames.push(...fresh);
    if (paused) { later(); return; }
    const atEnd = list.scrollTop + list.clientHeight >= shown.length * ROW - ROW;
    shown.push(...fresh.filter(matches));
    later();
    if (atEnd) requestAnimationFrame(() => { list.scrollTop = shown.length * ROW; });
  }

  model.on("msg:custom", arrived);
  model.send({ type: "ready" });
  later();
  return () => model.off("msg:custom", arrived);
}

export default { render };
