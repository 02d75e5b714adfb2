"use strict";
// The server renders; this keeps what is shown fresh, moves by keys, and sends orders.
(() => {
  const main = document.getElementById("main");
  const freshness = document.getElementById("freshness");
  const POLL_MS = 5000;
  const PAUSE_MS = 2000; // between two renewals, however much happens
  const GO_MS = 1500; // for the second key after g
  let loading = false;
  let again = false;
  let polling = null;
  let renewedAt = 0;

  // --- fresh ------------------------------------------------------------------------------

  function show(text, stale) {
    freshness.textContent = text;
    freshness.className = stale ? "stale" : "";
  }

  function localTimes(root) {
    for (const one of root.querySelectorAll("time[data-unix]")) {
      const at = new Date(Number(one.dataset.unix) * 1000);
      one.dateTime = at.toISOString();
      one.title = one.dateTime;
      one.textContent = at.toLocaleString();
    }
  }

  function isInUse(part) {
    const active = document.activeElement;
    return part.contains(active) && /^(INPUT|SELECT|TEXTAREA)$/.test(active.tagName);
  }

  // Only parts that differ are exchanged: what is open, focused or picked stays so.
  function replace(html) {
    const parsed = new DOMParser().parseFromString(`<main>${html}</main>`, "text/html");
    const fresh = parsed.querySelector("main"); // rendered and escaped by the server
    localTimes(fresh);
    const focused = document.activeElement && document.activeElement.id;
    const picked = main.querySelector("tr.picked");
    const pickedId = picked && picked.id;
    const open = new Map(
      Array.from(main.querySelectorAll("details[id]"), (one) => [one.id, one.open]),
    );
    for (const one of fresh.querySelectorAll("details[id]")) {
      if (open.has(one.id)) {
        one.open = open.get(one.id);
      }
    }
    const before = Array.from(main.children);
    const after = Array.from(fresh.children);
    const same = before.length === after.length && after.every((one, i) => one.id === before[i].id);
    if (!same) {
      main.replaceChildren(...after);
    } else {
      after.forEach((one, i) => {
        if (!isInUse(before[i]) && one.outerHTML !== before[i].outerHTML) {
          const scrolled = Array.from(before[i].querySelectorAll(".scroll"), (s) => s.scrollLeft);
          before[i].replaceWith(one);
          one.querySelectorAll(".scroll").forEach((s, n) => { s.scrollLeft = scrolled[n] || 0; });
        }
      });
    }
    const row = pickedId && document.getElementById(pickedId);
    if (row) {
      row.classList.add("picked");
    }
    const back = focused && document.getElementById(focused);
    if (back && back !== document.activeElement) {
      back.focus({ preventScroll: true });
    }
  }

  async function refresh() {
    if (loading) {
      again = true;
      return;
    }
    loading = true;
    try {
      const reply = await fetch(window.location.href, {
        cache: "no-store",
        headers: { "X-Part": "main" },
      });
      if (!reply.ok) {
        throw new Error(`HTTP ${reply.status}`);
      }
      replace(await reply.text());
      show(`as of ${new Date().toLocaleTimeString()}`, false);
    } catch (fault) {
      show(`the scheduler does not answer (${fault.message}); this page is old`, true);
    } finally {
      renewedAt = Date.now();
      loading = false;
      if (again) {
        again = false;
        setTimeout(refresh, PAUSE_MS);
      }
    }
  }

  function changed() {
    if (document.hidden) {
      again = true;
      return;
    }
    const rest = renewedAt + PAUSE_MS - Date.now();
    if (rest <= 0) {
      refresh();
    } else if (!again) {
      again = true;
      setTimeout(() => { again = false; refresh(); }, rest);
    }
  }

  function poll(on) {
    if (on && polling === null) {
      polling = setInterval(() => { if (!document.hidden) { refresh(); } }, POLL_MS);
    } else if (!on && polling !== null) {
      clearInterval(polling);
      polling = null;
    }
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      refresh();
    }
  });
  localTimes(document);
  poll(true);
  if ("EventSource" in window) {
    const events = new EventSource("/events");
    events.addEventListener("open", () => poll(false));
    events.addEventListener("change", changed);
    events.addEventListener("error", () => {
      poll(true);
      changed();
    });
  }

  // --- keys -------------------------------------------------------------------------------

  const help = document.getElementById("help");
  let wentAt = 0;

  function pick(step) {
    const rows = Array.from(main.querySelectorAll("tbody tr")).filter((r) => r.querySelector("a.open"));
    if (!rows.length) {
      return;
    }
    const at = rows.findIndex((row) => row.classList.contains("picked"));
    const next = rows[Math.min(rows.length - 1, Math.max(0, at + step))];
    rows.forEach((row) => row.classList.toggle("picked", row === next));
    next.querySelector("a.open").focus();
    next.scrollIntoView({ block: "nearest" });
  }

  function onKey(event) {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) {
      return;
    }
    if (typing) {
      if (event.key === "Escape") {
        event.target.blur();
      }
      return;
    }
    if (Date.now() - wentAt < GO_MS) {
      wentAt = 0;
      const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
      if (link) {
        event.preventDefault();
        link.click();
      }
      return;
    }
    const search = document.getElementById("search");
    const first = main.querySelector("button.act");
    switch (event.key) {
      case "g":
        wentAt = Date.now();
        break;
      case "?":
        help.showModal();
        break;
      case "/":
        if (search) {
          event.preventDefault();
          search.focus();
          search.select();
        }
        break;
      case "j":
        pick(1);
        break;
      case "k":
        pick(-1);
        break;
      case ".":
        if (first) {
          first.focus();
        }
        break;
      default:
    }
  }

  document.addEventListener("keydown", onKey);
  document.getElementById("help-open").addEventListener("click", () => help.showModal());

  // --- orders -----------------------------------------------------------------------------

  const order = document.getElementById("order");
  const field = (name) => document.getElementById(`order-${name}`);
  let wanted = null;

  async function open(button) {
    const told = button.dataset;
    wanted = { url: told.url, subject: told.subject, key: crypto.getRandomValues(new Uint32Array(4)).join("-") };
    field("title").textContent = told.word;
    field("will").textContent = told.says;
    field("cli").textContent = told.cli;
    field("told").textContent = "";
    field("send").disabled = false;
    field("token").value = window.sessionStorage.getItem("token") || "";
    if (document.body.dataset.mayChange !== "yes") {
      field("told").textContent = "changes are refused: start the scheduler with -rest.token-file=FILE";
      field("send").disabled = true;
    }
    order.showModal();
    field("reason").focus();
    if (told.preview) {
      try {
        const reply = await fetch(told.preview, { cache: "no-store" });
        field("will").textContent = (await reply.json()).will || told.says;
      } catch {
        field("will").textContent = told.says;
      }
    }
  }

  async function send() {
    const body = { reason: field("reason").value };
    if (wanted.subject !== undefined) {
      body.subject = wanted.subject;
    }
    const token = field("token").value;
    window.sessionStorage.setItem("token", token);
    field("send").disabled = true;
    field("told").textContent = "asking …";
    try {
      const reply = await fetch(wanted.url, {
        method: "POST",
        headers: {
          Authorization: `Bearer ${token}`,
          "Content-Type": "application/json",
          "Idempotency-Key": wanted.key,
        },
        body: JSON.stringify(body),
      });
      const told = await reply.json();
      field("told").textContent = told.result || told.detail || `HTTP ${reply.status}`;
      if (reply.status === 401) {
        window.sessionStorage.removeItem("token");
        field("send").disabled = false;
      }
      refresh();
    } catch (fault) {
      field("told").textContent = `no answer (${fault.message}): ask again, it is done once only`;
      field("send").disabled = false;
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("button.act");
    if (button) {
      open(button);
    }
  });
  field("send").addEventListener("click", send);
  document.getElementById("order-form").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.tagName === "INPUT") {
      event.preventDefault();
      if (!field("send").disabled) {
        send();
      }
    }
  });
})();
