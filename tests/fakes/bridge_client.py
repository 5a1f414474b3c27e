"""What a client of the bridge needs: its program, and a person who agrees to everything."""

from typing import Final

import mcp_types as types
from mcp.client.context import ClientRequestContext

BRIDGE: Final = "import sys; from kiln_mcp.doors.bridge import main; sys.exit(main())"


async def agree(
    context: ClientRequestContext, params: types.ElicitRequestParams
) -> types.ElicitResult:
    """Answer as a person who agrees to everything."""
    return types.ElicitResult(action="accept", content={"agree": True})
