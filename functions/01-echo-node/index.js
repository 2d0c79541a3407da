'use strict'
// An echo server: every message goes back to its sender, text as text and binary as binary.
const http = require('node:http')
const { WebSocketServer } = require('ws')

// The service sends requests to this port. It is customRuntimeConfig.port of s.yaml, by default 9000.
const port = process.env.FC_CUSTOM_LISTEN_PORT || process.env.FC_SERVER_PORT || '9000'
if (!/^\d{1,5}$/.test(port) || port < 1 || port > 65535) {
  console.error(`The port must be a number from 1 to 65535, not '${port}': see FC_CUSTOM_LISTEN_PORT, FC_SERVER_PORT`)
  process.exit(1)
}
const MESSAGE_BYTES = 1024 * 1024 // a larger message closes its connection with code 1009
const BUFFER_BYTES = 1024 * 1024 // more than this waiting to be sent: stop reading from that client
const PING_MS = 20_000 // a client that misses the answer to a ping is disconnected by the next one

const server = http.createServer((request, response) => {
  const healthy = request.url === '/healthz'
  response.statusCode = healthy ? 200 : 426
  response.end(healthy ? 'ok\n' : 'Connect with a WebSocket client.\n')
})
server.keepAliveTimeout = 0 // the service keeps connections to the instance open and uses them again
const sockets = new WebSocketServer({ server, maxPayload: MESSAGE_BYTES })

// One line of JSON. The service's own log lines about this connection have the same requestId.
function log (event, request, facts) {
  console.log(JSON.stringify({ event, requestId: request?.headers['x-fc-request-id'] ?? null, ...facts }))
}

sockets.on('connection', (socket, request) => {
  log('open', request, { path: request.url })
  socket.alive = true
  socket.on('pong', () => { socket.alive = true })
  // region echo
  socket.on('message', (data, isBinary) => {
    socket.send(data, { binary: isBinary }, () => {
      if (socket.isPaused && socket.bufferedAmount < BUFFER_BYTES) socket.resume()
    })
    if (socket.bufferedAmount >= BUFFER_BYTES) socket.pause() // the client sends faster than it reads
  })
  // endregion
  // Without this handler one broken connection ends the process, and every other connection with it.
  socket.on('error', (error) => log('error', request, { message: error.message }))
  socket.on('close', (code) => log('closed', request, { code }))
})

const pings = setInterval(() => {
  for (const socket of sockets.clients) {
    if (!socket.alive) socket.terminate()
    socket.alive = false
    socket.ping()
  }
}, PING_MS)

// The service stops the instance (SIGTERM), or you press Ctrl-C (SIGINT): close every connection with code 1001.
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    clearInterval(pings)
    server.close()
    server.closeIdleConnections()
    for (const socket of sockets.clients) socket.close(1001)
    setTimeout(() => process.exit(), 2000).unref() // clients that do not answer
  })
}

server.listen(port, '0.0.0.0', () => log('ready', null, { port }))
