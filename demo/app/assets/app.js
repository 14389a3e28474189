// The live panels: a WebSocket that is echoed and an event stream. When the
// gate ends the session it closes both, and the page says so.
"use strict";

const lines = 6;

function panel(name) {
  const state = document.getElementById(name + "-state");
  const log = document.getElementById(name + "-log");
  return {
    state(text, open) {
      state.textContent = text;
      state.dataset.open = String(open);
    },
    line(text) {
      const item = document.createElement("li");
      item.textContent = text;
      log.append(item);
      while (log.children.length > lines) log.firstChild.remove();
    },
  };
}

const clock = () => new Date().toLocaleTimeString();

function ended() {
  document.getElementById("ended").hidden = false;
}

// closed asks the gate once whether the session still lives: a network that
// went away is not a sign-out.
async function closed() {
  try {
    const answer = await fetch("/api/whoami", { headers: { Accept: "application/json" }, redirect: "manual" });
    if (!answer.ok) ended();
  } catch {
    // offline: the next click will tell
  }
}

function openSocket() {
  const view = panel("socket");
  const socket = new WebSocket("wss://" + location.host + "/ws");
  let timer = 0;
  view.state("connecting", "");
  socket.onopen = () => {
    view.state("open", true);
    socket.send(clock());
    timer = setInterval(() => socket.send(clock()), 2000);
  };
  socket.onmessage = (message) => view.line("↩ " + message.data);
  socket.onclose = (event) => {
    clearInterval(timer);
    view.state("closed", false);
    view.line(clock() + " closed: " + event.code + (event.reason ? " " + event.reason : ""));
    closed();
  };
}

function openStream() {
  const view = panel("stream");
  const stream = new EventSource("/events");
  view.state("connecting", "");
  stream.onopen = () => view.state("open", true);
  stream.addEventListener("tick", (event) => view.line("tick " + JSON.parse(event.data).tick));
  stream.onerror = () => {
    stream.close();
    view.state("closed", false);
    view.line(clock() + " closed");
    closed();
  };
}

openSocket();
openStream();
