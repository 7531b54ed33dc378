/* When the session is over, whatever asks the server next is told so (401): the page goes to the log-in and back. */
(function () {
  "use strict";
  const plain = window.fetch;
  let leaving = false;
  window.fetch = async function (...asked) {
    const answer = await plain.apply(this, asked);
    if (answer.status === 401 && !leaving && new URL(answer.url).origin === location.origin) {
      leaving = true;
      location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));
    }
    return answer;
  };
})();
