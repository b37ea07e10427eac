// What Streamlit calls of a component without a face: with every run of the script again, with the data of that run.
// It follows the script of the component, whose class is `Faceless` here: `show` for each run, `close` at the end.

const mounted = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  let component = mounted.get(parentElement);
  if (!component) mounted.set(parentElement, (component = new Faceless()));
  const run = (component.run = (component.run ?? 0) + 1);
  component.show(data, setStateValue);
  // Streamlit also calls this for a run that a later one overtook: then the component stays.
  return () =>
    setTimeout(() => {
      if (component.run !== run) return;
      component.close();
      mounted.delete(parentElement);
    }, 100);
}
