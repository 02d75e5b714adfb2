"use strict";
// The server renders; this keeps the rendered part fresh: by events, else by polling.
(() => {
  const live = document.getElementById("live");
  const freshness = document.getElementById("freshness");
  const filter = document.getElementById("filter");
  const POLL_MS = 5000;
  let loading = false;
  let again = false;
  let polling = null;

  function show(text, stale) {
    freshness.textContent = text;
    freshness.className = stale ? "stale" : "";
  }

  function applyFilter() {
    const wanted = filter.value.trim().toLowerCase();
    for (const row of live.querySelectorAll("tr.agent")) {
      row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted);
    }
  }

  function replace(html) {
    const open = new Set(Array.from(live.querySelectorAll("details[open]"), (one) => one.id));
    live.innerHTML = html; // rendered and escaped by the server
    for (const one of live.querySelectorAll("details")) {
      one.open = open.has(one.id);
    }
    applyFilter();
  }

  async function refresh() {
    if (loading) {
      again = true;
      return;
    }
    loading = true;
    try {
      const reply = await fetch("/ui/live", { cache: "no-store" });
      if (!reply.ok) {
        throw new Error(`HTTP ${reply.status}`);
      }
      replace(await reply.text());
      show(`as of ${new Date().toLocaleTimeString()}`, false);
    } catch (fault) {
      show(`the scheduler does not answer (${fault.message}); this page is old`, true);
    } finally {
      loading = false;
      if (again) {
        again = false;
        refresh();
      }
    }
  }

  function poll(on) {
    if (on && polling === null) {
      polling = setInterval(refresh, POLL_MS);
    } else if (!on && polling !== null) {
      clearInterval(polling);
      polling = null;
    }
  }

  filter.addEventListener("input", applyFilter);
  poll(true);
  if ("EventSource" in window) {
    const events = new EventSource("/events");
    events.addEventListener("open", () => poll(false));
    events.addEventListener("change", refresh);
    events.addEventListener("error", () => {
      poll(true);
      refresh();
    });
  }
})();
