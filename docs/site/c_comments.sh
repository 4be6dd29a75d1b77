#!/bin/sh
# A C header for Doxygen, which takes comments for documentation that begin with /**, those of a field with /**<.
sed -E '\#^/\* (--|NOLINT)#b; 1s#^/\* #/** \\file\n * #; s#^( *)/\* #\1/** #; s#^(.*[;,0-9]) +/\* (.*)#\1  /**< \2#; s# \.\. # ... #' "$1"
