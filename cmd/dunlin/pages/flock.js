"use strict";

const element = (id) => document.getElementById(id);

// The browser knows which protocol carried the page: "h3" is HTTP/3.
const names = { h3: "HTTP/3", h2: "HTTP/2", "http/1.1": "HTTP/1.1" };
const protocol = performance.getEntriesByType("navigation")[0].nextHopProtocol;
element("protocol").textContent = names[protocol] ?? protocol;
element("advice").hidden = protocol === "h3";

async function showPictures() {
  const started = performance.now();
  const pictures = Array.from({ length: 60 }, (_, i) => {
    const picture = new Image();
    picture.alt = "";
    picture.src = `pictures/${i}.svg`;
    element("flock").append(picture);
    return picture.decode();
  });
  const outcomes = await Promise.allSettled(pictures);
  const arrived = outcomes.filter((o) => o.status === "fulfilled").length;
  element("pictures").textContent = `${arrived} of ${pictures.length} pictures in ${Math.round(performance.now() - started)} ms.`;
}

async function download() {
  const started = performance.now();
  const response = await fetch("download?bytes=67108864");
  const body = await response.arrayBuffer();
  const seconds = (performance.now() - started) / 1000;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  const hex = Array.from(digest, (b) => b.toString(16).padStart(2, "0")).join("");
  const whole = hex === response.headers.get("Sha256");
  element("rate").textContent =
    `${Math.round((body.byteLength * 8) / 1e6 / seconds)} Mbit/s, ${whole ? "arrived whole" : "DAMAGED"};`;
}

element("download").addEventListener("click", download);
showPictures();
