"use strict";

const KEY = "dcm-api-key";
const byId = (id) => document.getElementById(id);

async function ask(path) {
  const key = sessionStorage.getItem(KEY);
  const headers = key ? { Authorization: "Bearer " + key } : {};
  const answer = await fetch(path, { headers, cache: "no-store" });
  return { status: answer.status, body: await answer.json() };
}

function fill(id, rows) {
  byId(id).replaceChildren(
    ...rows.map(([name, value]) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      const cell = document.createElement("td");
      head.textContent = name;
      cell.textContent = value;
      row.append(head, cell);
      return row;
    }),
  );
}

function say(text, well) {
  byId("state").textContent = text;
  byId("state").className = well ? "well" : "ill";
}

async function refresh() {
  try {
    const health = await ask("/health");
    const database = health.body.database ?? {};
    say(health.body.status ?? health.body.error, health.status === 200);
    fill("health", [
      ["Version", health.body.version ?? ""],
      ["Store", database.healthy ? "answers in " + database.latencyMs + " ms" : (database.error ?? "does not answer")],
      ["Asked", new Date(health.body.timestamp ?? Date.now()).toLocaleTimeString()],
    ]);
    const stats = await ask("/stats");
    byId("login").hidden = stats.status !== 401;
    byId("document").hidden = sessionStorage.getItem(KEY) !== null;
    fill("stats", stats.status === 200
      ? [["Projects", stats.body.projectCount], ["Requests", stats.body.requestCount],
         ["Actions", stats.body.actionCount], ["Messages", stats.body.messageCount]]
      : [["Not shown", stats.body.error]]);
  } catch (error) {
    say("the server does not answer", false);
  }
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("key").value);
  refresh();
});

refresh();
setInterval(() => document.hidden || refresh(), 5000);
