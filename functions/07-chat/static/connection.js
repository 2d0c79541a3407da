// One person in one room: connect, resume, repeat what was not confirmed. No page in here; see client.py of
// 07-chat-durable for the same in Python. Events: "state" (detail: state, seconds), "said" (detail: what the chat says),
// "fate" (detail: ref, fate, reason).

const WINDOW = 16; // messages sent and not yet confirmed
const LONGEST = 10; // seconds between two attempts
const FINAL = new Set([1008, 1009]); // close codes after which it would go wrong again

const random = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

export class Connection extends EventTarget {
  #socket = null; #retry = 0; #timer = 0; #held = 0; #window = WINDOW; #ended = false;
  #secret = random(); #epoch = ""; #after = ""; #durable = false; #inside = false;
  #outbox = new Map(); #last = 0; #next = 1; #acked = 0;

  constructor(url, room, name) {
    super();
    Object.assign(this, { url, room, name, id: "" });
    this.wake = () => { if (this.#timer) this.#open(); };
    addEventListener("online", this.wake);
    this.#open();
  }

  /** Say something now, or when there is a connection again. Its number; "fate" events tell what became of it. */
  say(text) {
    this.#outbox.set(++this.#last, text);
    queueMicrotask(() => this.#send());
    return this.#last;
  }

  /** Leave for good. */
  end() {
    this.#ended = true;
    removeEventListener("online", this.wake);
    clearTimeout(this.#timer);
    clearTimeout(this.#held);
    this.#socket.close(1000);
  }

  #tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  #open() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#tell("state", { state: "connecting" });
    const socket = this.#socket = new WebSocket(this.url);
    socket.onopen = () => socket.send(JSON.stringify({
      type: "join", room: this.room, name: this.name, client: this.#secret,
      acked: this.#acked, epoch: this.#epoch, after: this.#after }));
    socket.onmessage = (event) => this.#hear(JSON.parse(event.data));
    socket.onclose = (event) => this.#closed(event);
  }

  #closed({ code, reason }) {
    this.#inside = false;
    if (this.#ended) return;
    if (FINAL.has(code)) {
      this.#ended = true;
      return this.#tell("state", { state: "closed", reason });
    }
    // Full jitter: those who were cut together do not come back together.
    const seconds = Math.random() * Math.min(LONGEST, 0.2 * 2 ** this.#retry++);
    this.#timer = setTimeout(() => this.#open(), seconds * 1000);
    this.#tell("state", { state: "waiting", seconds });
  }

  #hear(said) {
    switch (said.type) {
      case "welcome":
        this.id = said.id;
        this.#durable = said.durable;
        this.#epoch = said.epoch ?? "";
        if (said.gone) this.#after = "";
        if (this.#durable) this.#next = this.#acked + 1; // again from the first without an answer
        else this.#settle(this.#next - 1, "unsure", "the connection broke before the answer came");
        break;
      case "members":
        this.#inside = true;
        this.#retry = 0;
        this.#tell("state", { state: "in" });
        break;
      case "epoch": this.#epoch = said.epoch; this.#after = ""; break;
      case "opened": case "message": this.#after = said.id ?? ""; break;
      case "sent":
        this.#window = WINDOW;
        this.#settle(said.ref, said.missed ? "missed" : "sent");
        break;
      case "status": if (said.live && this.#held) this.#again(); break;
      case "failed":
        if (!this.#durable) { this.#settle(said.ref, said.sure ? "refused" : "unsure", said.reason); break; }
        this.#window = 1;
        this.#next = this.#acked + 1;
        this.#held ||= setTimeout(() => this.#again(), 500);
    }
    this.#tell("said", said);
    this.#send();
  }

  #again() {
    clearTimeout(this.#held);
    this.#held = 0;
    this.#next = this.#acked + 1;
    this.#send();
  }

  #send() {
    while (this.#inside && !this.#held && this.#outbox.has(this.#next) && this.#next <= this.#acked + this.#window
           && this.#socket.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify({ type: "say", ref: this.#next, text: this.#outbox.get(this.#next) }));
      this.#next++;
    }
  }

  #settle(upTo, fate, reason = "") {
    for (let ref = this.#acked + 1; ref <= upTo; ref++) {
      this.#outbox.delete(ref);
      this.#tell("fate", { ref, fate, reason });
    }
    this.#acked = Math.max(this.#acked, upTo);
  }
}
