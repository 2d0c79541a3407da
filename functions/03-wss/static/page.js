'use strict'
const show = (id, text) => { document.getElementById(id).textContent = text }

// region address
// The WebSocket is beside the page: same host, same port, same folder. A page that was loaded with https may only open
// wss, so the scheme changes from http(s) to ws(s). The query stays, because it can carry a token: a browser cannot
// send a header of its own with a WebSocket.
function address () {
  const url = new URL(`talk${location.search}`, location)
  url.protocol = url.protocol.replace('http', 'ws')
  return url.href
}
// endregion

function line (who, text) {
  const item = document.createElement('li')
  item.textContent = `${who}: ${text}` // textContent: a message is never interpreted as HTML
  document.getElementById('log').append(item)
}

const socket = new WebSocket(address())
show('address', `${socket.url.split('?')[0]}`)
show('state', 'connecting')

socket.addEventListener('open', () => show('state', 'open'))
socket.addEventListener('message', (event) => line('function', event.data))
socket.addEventListener('close', (event) => show('state', `closed, code ${event.code}`))

document.getElementById('form').addEventListener('submit', (event) => {
  event.preventDefault()
  const field = document.getElementById('text')
  if (socket.readyState !== WebSocket.OPEN) return line('page', 'not connected; reload the page')
  socket.send(field.value)
  line('you', field.value)
  field.value = ''
})
