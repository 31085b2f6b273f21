// Refreshes what is live and shows figures under the pointer. Every page works without it.
"use strict";

// The reader's own time, beside that of UTC.
function tellLocalTimes(within) {
  for (const time of within.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (!Number.isNaN(moment.valueOf())) time.title = `${moment.toLocaleString()} in your time zone`;
  }
}

// What a bar stands for, below the chart.
function readCharts(within) {
  for (const chart of within.querySelectorAll("svg[data-chart]")) {
    const reading = within.querySelector(`[data-reading="${chart.dataset.chart}"]`);
    if (!reading) continue;
    chart.addEventListener("pointermove", (event) => {
      const bar = event.target.closest("[data-label]");
      reading.textContent = bar ? bar.dataset.label : "";
    });
    chart.addEventListener("pointerleave", () => { reading.textContent = ""; });
  }
}

// Fetches the page again and puts its live part in the place of this one's.
function keepLive(part) {
  const seconds = Number(part.dataset.live);
  const bar = document.createElement("p");
  const button = document.createElement("button");
  const state = document.createElement("span");
  bar.className = "refresh";
  button.type = "button";
  button.className = "quiet";
  state.setAttribute("role", "status");
  bar.append(button, state);
  part.before(bar);

  let paused = false;
  let failed = false;
  const tell = () => {
    button.textContent = paused ? "Go on refreshing" : "Pause refreshing";
    state.textContent = failed ? "The gateway does not answer; trying again."
      : paused ? "Paused." : `Refreshes every ${seconds} s.`;
  };
  button.addEventListener("click", () => { paused = !paused; tell(); });
  tell();

  // Nothing moves away under somebody's keyboard or selection.
  const isInUse = () => part.contains(document.activeElement)
    || (!document.getSelection().isCollapsed && part.contains(document.getSelection().anchorNode));

  async function refresh() {
    if (paused || document.hidden || isInUse()) return;
    let answer;
    try {
      answer = await fetch(location.href, { headers: { "x-figw-refresh": "1" } });
    } catch {
      answer = null;
    }
    const said = failed;
    failed = !answer || !answer.ok;
    if (said !== failed) tell();
    if (failed) return;
    if (answer.redirected) {
      location.reload();
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("[data-live]");
    if (fresh && !paused && !isInUse()) {
      part.replaceChildren(...fresh.childNodes);
      tellLocalTimes(part);
    }
  }

  setInterval(refresh, seconds * 1000);
}

tellLocalTimes(document);
readCharts(document);
for (const part of document.querySelectorAll("[data-live]")) keepLive(part);
