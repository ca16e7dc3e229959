//! Names the patch, for whoever names this.

use greenroom_patch as _;
