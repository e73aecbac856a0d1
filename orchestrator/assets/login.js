// The token goes to the server once, beside the rest of the address; a wrong one leaves the address, and the page says so.
const here = new URL(location.href);
if (here.searchParams.has("token")) {
  here.searchParams.delete("token");
  history.replaceState(null, "", here);
  document.getElementById("wrong").hidden = false;
}
document.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = new FormData(event.target).get("token").trim();
  const next = new URL(location.href);
  next.searchParams.set("token", token);
  location.replace(next);
});
