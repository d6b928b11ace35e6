"""A page to try the classifier on: `python -m examples.service.demo`, or `make demo`.

Needs no network: nothing is fetched from elsewhere, and nothing is sent there.
"""

import argparse
import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

import gradio as gr

from examples.service.classifier import Classifier, InputError, ModelError
from examples.service.train import default_model

SENTENCES = [
    "The striker scored twice in the second half and the home crowd sang until midnight.",
    "Shares fell after the bank warned that profits would be lower than expected.",
    "Whisk two eggs with the sugar, fold in the flour and bake for half an hour.",
]
# The usual theme takes its fonts from another site.
THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])


def create_demo(classifier: Classifier) -> gr.Blocks:
    """A text box, a button, and the classes with their probabilities."""

    def classify(text: str) -> tuple[dict[str, float], str]:
        try:
            [found] = classifier([text])
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None
        cut = ", the rest was cut off" if found.truncated else ""
        return found.probabilities, f"The model read {found.pieces} pieces{cut}."

    with gr.Blocks(title="Text classifier", analytics_enabled=False) as demo:
        gr.Markdown(
            "# Text classifier\n"
            f"The model `{classifier.name}` knows the classes {', '.join(classifier.labels)} and "
            "no others: a text of another kind gets one of them too."
        )
        text = gr.Textbox(label="Text", lines=4)
        button = gr.Button("Classify", variant="primary")
        answer, note = gr.Label(label="Classes"), gr.Markdown()
        button.click(classify, text, [answer, note], api_name="classify")
        gr.Examples([[sentence] for sentence in SENTENCES], text)
    return demo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder or Hub id; default: a small classifier of news")
    parser.add_argument("--port", type=int, default=7860)
    arguments = parser.parse_args()
    try:
        demo = create_demo(Classifier(arguments.model or default_model()))
    except ModelError as error:
        parser.error(str(error))
    print(f"The page is at http://127.0.0.1:{arguments.port}; Ctrl-C ends it.", flush=True)
    try:
        demo.launch(
            server_name="127.0.0.1",
            server_port=arguments.port,
            share=False,
            theme=THEME,
            quiet=True,
        )
    except OSError:
        parser.error(
            f"Port {arguments.port} is taken. Take another one: --port {arguments.port + 1}"
        )


if __name__ == "__main__":
    main()
