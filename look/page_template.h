// The page without its data.
#pragma once

namespace voxshift {

/// page.html with style and scripts in it; @title@, @meta@ and @frames@, in this order, stand where a page has its own.
extern const char* const kPageTemplate;

}  // namespace voxshift
