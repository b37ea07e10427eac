"""The review editor: region, boxes, signals and counts in one component of our own (Streamlit's Components v2).

`frontend/` holds its JavaScript and style, shipped with the package and fetched from nowhere. How the image is shown
changes in the browser alone; every edit goes to the case log as it is made (`inbox`), and the numbers that follow come
back (`state`). The pixels travel once, beside the editor (`pictures`), not with each edit.
"""

from her2core.ui.editor.inbox import Inbox, Refusal
from her2core.ui.editor.mount import mount_editor, mount_pictures
from her2core.ui.editor.pictures import encoded_picture
from her2core.ui.editor.state import EditorNews, editor_state

__all__ = [
    "EditorNews",
    "Inbox",
    "Refusal",
    "editor_state",
    "encoded_picture",
    "mount_editor",
    "mount_pictures",
]
