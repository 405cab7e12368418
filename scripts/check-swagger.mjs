// Tries Swagger UI in a real browser: opens it, runs the example of POST /status/pipeline, and
// wants to see 200 on the page, with nothing loaded from anywhere else, nothing that the page's
// content security policy forbids, and no error in the console.
//
// usage: node scripts/check-swagger.mjs BINARY FOLDER-WITH-NODE_MODULES

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const [binary, modules] = process.argv.slice(2).map((path) => resolve(path));
const { chromium } = createRequire(join(modules, "x.js"))("playwright-core");

const OPERATION = "#operations-reports-report_pipeline";
const STEP_MS = 20_000;

// Starts the server on a port that the system chooses; answers the process and its address.
function startServer(folder) {
  const settings = {
    API_HOST: "127.0.0.1",
    API_PORT: "0",
    DATABASE_URL: `sqlite://${join(folder, "history.db")}`,
  };
  const server = spawn(binary, [], { env: settings, stdio: ["ignore", "ignore", "pipe"] });
  return new Promise((answer, fail) => {
    let log = "";
    const over = () => fail(new Error(`the server did not start: ${log}`));
    setTimeout(over, STEP_MS).unref();
    server.once("error", fail).once("exit", over);
    server.stderr.setEncoding("utf8").on("data", (text) => {
      log += text;
      const address = /ready .*address=(\S+)/.exec(log);
      if (address) {
        answer({ server, url: `http://${address[1]}` });
      }
    });
  });
}

// Asks the server to stop, and sees it gone.
async function stopServer(server) {
  if (server.exitCode !== null) {
    return;
  }
  const gone = new Promise((done) => server.once("exit", done));
  const killer = setTimeout(() => server.kill("SIGKILL"), STEP_MS);
  server.kill("SIGTERM");
  await gone;
  clearTimeout(killer);
}

// What a page may not do it often tries only when something is looked at.
async function lookAtSome(page) {
  for (const operation of ["history-list_history", "metrics-metrics", "reviews-review"]) {
    await page.locator(`#operations-${operation} .opblock-summary-control`).click();
    await page.locator(`#operations-${operation} .responses-table`).first().waitFor();
  }
}

async function runExample(page, url) {
  const elsewhere = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("data:")) {
      elsewhere.push(request.url());
    }
  });
  const wrong = [];
  page.on("console", (message) => {
    if (message.type() === "error" || /Content Security Policy/i.test(message.text())) {
      wrong.push(message.text());
    }
  });
  page.on("pageerror", (error) => wrong.push(String(error)));
  await page.goto(`${url}/swagger-ui/`, { timeout: STEP_MS });
  await page.locator(`${OPERATION} .opblock-summary-control`).click();
  await page.locator(`${OPERATION} .btn.execute`).click();
  const answer = page.locator(`${OPERATION} .live-responses-table .response`).first();
  const status = (await answer.locator(".response-col_status").innerText()).trim();
  const body = await answer.locator(".response-col_description").innerText();
  if (!status.startsWith("200") || !body.includes('"success": true')) {
    throw new Error(`the page shows ${status}: ${body.slice(0, 300)}`);
  }
  await lookAtSome(page);
  if (wrong.length > 0) {
    throw new Error(`the console says: ${wrong.slice(0, 5).join(" | ")}`);
  }
  if (elsewhere.length > 0) {
    throw new Error(`the page asked elsewhere: ${elsewhere.join(", ")}`);
  }
}

const folder = mkdtempSync(join(tmpdir(), "swagger-"));
let server;
let browser;
try {
  const started = await startServer(folder);
  server = started.server;
  browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  const page = await browser.newPage();
  page.setDefaultTimeout(STEP_MS);
  await runExample(page, started.url);
  console.log("   POST /status/pipeline in Swagger UI: 200");
} catch (error) {
  console.error(`check-swagger: ${error.message}`);
  process.exitCode = 1;
} finally {
  await browser?.close();
  if (server) {
    await stopServer(server);
  }
  rmSync(folder, { recursive: true, force: true });
}
