// What Streamlit calls: with every run of the script again, with the data of that run.

const editors = new WeakMap();

export default function ({ name, data, parentElement, setTriggerValue }) {
  if (name === "her2core_picture") return storePicture(data, parentElement);
  const post = (message) => setTriggerValue("message", message);
  let editor = editors.get(parentElement);
  if (!editor) {
    editor = new Editor(parentElement, post);
    editors.set(parentElement, editor);
  }
  editor.post = post;
  const run = (editor.run = (editor.run ?? 0) + 1);
  editor.update(JSON.parse(data.state));
  // Streamlit also calls this for a run that a later one overtook: then the editor stays.
  return () =>
    setTimeout(() => {
      if (editor.run !== run) return;
      editor.close();
      editors.delete(parentElement);
    }, 100);
}
