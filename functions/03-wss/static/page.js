'use strict'
const show = (id, text) => { document.getElementById(id).textContent = text }

// region address
// A page that came by https may open wss only, so the scheme follows the page's own; a token in the page's
// address goes along, because a browser can send no header of its own with a WebSocket.
function address () {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:'
  return `${scheme}//${location.host}/talk${location.search}`
}
// endregion

function line (who, text) {
  const item = document.createElement('li')
  item.textContent = `${who}: ${text}` // textContent, so that a message is never taken for HTML
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
