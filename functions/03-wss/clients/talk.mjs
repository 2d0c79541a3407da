// Send one message over a WebSocket and print the answer: node talk.mjs wss://localhost:9443/talk hello
// Node.js 22 has WebSocket built in. For an older Node.js: npm install ws
const load = async () => globalThis.WebSocket ?? (await import('ws')).default
const WebSocket = await load().catch(() => {
  console.error(`Node.js ${process.versions.node} has no WebSocket: use Node.js 22, or run "npm install ws" beside talk.mjs.`)
  process.exit(1)
})
const [url, text = 'hello'] = process.argv.slice(2)
if (!url) {
  console.error('usage: node talk.mjs URL [TEXT]')
  process.exit(2)
}

const socket = new WebSocket(url)
socket.addEventListener('open', () => socket.send(text))
socket.addEventListener('message', (event) => { console.log(event.data); socket.close(1000) })
socket.addEventListener('error', (event) => console.error('failed:', event.message ?? 'see the close code'))
socket.addEventListener('close', (event) => { process.exitCode = event.code === 1000 ? 0 : 1 })
