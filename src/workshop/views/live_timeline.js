// The last half minute of a function on a canvas: one lane per instance, connections as bars, frames as dots,
// and a "now" that moves. The journal's times and the page's clock come from the same machine.
const SPAN = 30, LANE = 34, TOP = 20, GUTTER = 84;

function render({ model, el }) {
  const lanes = new Map();   // instance -> { begin, end, requests: Map }
  const requests = new Map();
  let dots = [], doors = [], hovered = null, stopped = false;

  const style = document.createElement("style");
  style.textContent = model.get("style");
  const root = document.createElement("div");
  root.className = "wv";
  const canvas = document.createElement("canvas");
  canvas.style.width = "100%";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Live timeline of the last 30 seconds; the Timeline tab has the same as text");
  const details = document.createElement("div");
  details.className = "dim";
  details.textContent = "Point at a bar or a dot for details.";
  root.append(canvas, details);
  el.append(style, root);

  function take(record) {
    const { kind, at, instance, request } = record;
    if (instance && kind.startsWith("instance.")) {
      const lane = lanes.get(instance) ?? { begin: at, cold: null, end: null };
      if (kind === "instance.starting") lane.cold = [at, null];
      if (kind === "instance.ready" && lane.cold) lane.cold[1] = at;
      if (kind === "instance.stopped" || kind === "instance.failed") lane.end = at;
      lanes.set(instance, lane);
    } else if (kind === "request.begin") {
      if (!lanes.has(instance)) lanes.set(instance, { begin: at, cold: null, end: null });
      requests.set(request, { request, instance, begin: at, end: null, label: "open", bad: false });
    } else if (kind === "request.end" && requests.has(request)) {
      Object.assign(requests.get(request), { end: at, label: String(record.closeCode ?? record.status),
        bad: record.closeCode === 1006 || record.status >= 400 });
    } else if (kind === "tap.frame") {
      dots.push(record);
    } else if (kind === "request.rejected") {
      doors.push(record);
    }
  }

  // A canvas cannot resolve light-dark(): let the page resolve each colour once per theme.
  const probe = document.createElement("span");
  root.append(probe);
  const colours = new Map();
  function colour(name) {
    if (!colours.has(name)) {
      probe.style.color = `var(--${name})`;
      colours.set(name, getComputedStyle(probe).color);
    }
    return colours.get(name);
  }

  function draw() {
    if (stopped || !canvas.isConnected) { if (!stopped) requestAnimationFrame(draw); return; }
    const now = Date.now() / 1000, since = now - SPAN;
    const width = canvas.clientWidth, ratio = window.devicePixelRatio || 1;
    const seen = [...lanes].filter(([, lane]) => lane.end === null || lane.end > since);
    const height = TOP + Math.max(1, seen.length) * LANE + 18;
    if (canvas.width !== width * ratio || canvas.height !== height * ratio) {
      canvas.width = width * ratio; canvas.height = height * ratio; canvas.style.height = `${height}px`;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.font = "12px system-ui, sans-serif";
    const x = (at) => GUTTER + (at - since) / SPAN * (width - GUTTER - 12);
    const fill = (name, ...box) => { pen.fillStyle = colour(name); pen.fillRect(...box); };
    fill("paper", 0, 0, width, height);
    for (let ago = SPAN; ago >= 0; ago -= 5) {
      fill("grid", x(now - ago), TOP - 4, 1, height - TOP - 12);
      pen.fillStyle = colour("dim");
      pen.fillText(ago ? `-${ago} s` : "now", Math.min(x(now - ago) - 12, width - 34), 12);
    }
    const marks = [];   // what can be pointed at; the last one is on top
    const mark = (text, left, right, top, bottom) => marks.push({ text, left, right, top, bottom });
    const rows = new Map(seen.map(([instance], index) => [instance, TOP + index * LANE]));
    for (const [instance, lane] of seen) {
      const y = rows.get(instance);
      fill("lane", GUTTER, y, width - GUTTER - 12, LANE - 6);
      pen.fillStyle = colour("ink");
      pen.fillText(instance.slice(-8), 4, y + 17);
      if (lane.cold) {
        const left = Math.max(x(lane.cold[0]), GUTTER), right = Math.max(x(lane.cold[1] ?? now), GUTTER);
        fill("ping-soft", left, y + 4, right - left, 8);
      }
    }
    for (const [key, one] of requests) {
      if (one.end !== null && one.end < since) { requests.delete(key); continue; }
      if (!rows.has(one.instance)) continue;
      const y = rows.get(one.instance) + 6, left = Math.max(x(one.begin), GUTTER), right = x(one.end ?? now);
      fill("data-soft", left, y, Math.max(2, right - left), 15);
      if (one.bad) fill("bad", right - 3, y, 4, 15);
      mark(`request ${one.request}: ${one.label}, ${((one.end ?? now) - one.begin).toFixed(2)} s`,
        left, Math.max(right, left + 4), y, y + 15);
    }
    dots = dots.filter((dot) => dot.at > since);
    for (const dot of dots) {
      if (!rows.has(dot.instance)) continue;
      const left = x(dot.at), y = rows.get(dot.instance) + (dot.direction === "in" ? 10 : 17);
      const name = ["ping", "pong"].includes(dot.opcode) ? "ping" : dot.opcode === "close" ? "bad" : "data";
      fill(name, left - 2.5, y - 2.5, 5, 5);   // not an arc: thousands of paths cost twice the time
      if (hovered) mark(`${dot.opcode} ${dot.direction === "in" ? "to the function" : "to the client"}, ${dot.length} bytes ` +
        `${dot.preview}`, left - 4, left + 4, y - 4, y + 4);
    }
    doors = doors.filter((one) => one.at > since);
    for (const door of doors) {
      fill("bad", x(door.at) - 1, TOP - 4, 3, height - TOP - 12);
      mark(`rejected: ${door.status} ${door.code}`, x(door.at) - 4, x(door.at) + 4, 0, height);
    }
    fill("bad", x(now), TOP - 4, 1, height - TOP - 12);
    const found = hovered && marks.findLast((one) => hovered.x >= one.left && hovered.x <= one.right &&
      hovered.y >= one.top && hovered.y <= one.bottom);
    if (found) details.textContent = found.text;
    requestAnimationFrame(draw);
  }

  canvas.onpointermove = (event) => { hovered = { x: event.offsetX, y: event.offsetY }; };
  canvas.onpointerleave = () => { hovered = null; };
  const arrived = (message) => {
    if (message.clear) { lanes.clear(); requests.clear(); dots = []; doors = []; }
    for (const record of message.records) take(record);
  };
  model.on("msg:custom", arrived);
  model.send({ type: "ready" });
  const themes = new MutationObserver(() => colours.clear());
  themes.observe(document.body, { attributes: true });
  requestAnimationFrame(draw);
  return () => { stopped = true; themes.disconnect(); model.off("msg:custom", arrived); };
}

export default { render };
