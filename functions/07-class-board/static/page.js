// Watch a class, and stay connected: after a cut the page reconnects and receives the newest state.
"use strict";

const byId = (id) => document.getElementById(id);
const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
let failures = 0;

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;                       // what a learner's program printed stays text
  return made;
}

function column({ task, passed, stuck }, learners) {
  const item = element("li", "task");
  const bar = element("span", "bar");
  const fill = element("span", "fill");
  fill.style.height = `${learners ? (100 * passed) / learners : 0}%`;
  bar.append(fill);
  bar.ariaHidden = "true";
  item.append(element("strong", "", task), bar, element("span", "", `${passed}/${learners}`));
  if (stuck) item.append(element("span", "stuck", `${stuck} stuck`));
  return item;
}

function row({ task, stuck, line, times }) {
  const item = element("li", "");
  item.append(element("strong", "", `${task}: ${counted(stuck, "learner")}`));
  if (line) item.append(element("span", "line", times > 1 ? `${line} (${times} times)` : line));
  return item;
}

function draw({ learners, tasks }) {
  byId("learners").textContent = counted(learners, "learner");
  byId("tasks").replaceChildren(...tasks.map((task) => column(task, learners)));
  const stuck = tasks.filter((task) => task.stuck).sort((a, b) => b.stuck - a.stuck).slice(0, 8);
  byId("stuck").replaceChildren(...stuck.map(row));
  if (!stuck.length) byId("stuck").append(element("li", "", "nobody at the moment"));
}

function connect() {
  const url = new URL("watch", location);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);
  socket.onopen = () => { byId("state").textContent = "live"; };
  socket.onmessage = (message) => {
    failures = 0;
    draw(JSON.parse(message.data));
  };
  socket.onclose = ({ code }) => {
    // A random part of a span that doubles: the pages of a stopped instance do not all return in the same moment.
    const delay = Math.random() * Math.min(1000 * 2 ** failures, 30000);
    failures += 1;
    byId("state").textContent = `closed ${code}, reconnecting in ${(delay / 1000).toFixed(1)} s`;
    setTimeout(connect, delay);
  };
}

byId("command").textContent = `workshop class join ${new URL(".", location)}`;
connect();
