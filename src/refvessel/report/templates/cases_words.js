"use strict";

// English -> the page's language; nothing where that is English.
const messages = JSON.parse(document.getElementById("messages").textContent);

/** The message in the page's language, each `%(name)s` filled in. */
function worded(message, values = {}) {
  return (messages[message] ?? message).replace(/%\((\w+)\)s/g, (_, name) => values[name]);
}

