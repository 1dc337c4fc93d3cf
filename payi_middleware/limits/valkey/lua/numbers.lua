-- Counters are integers of 64 bits, and doubles, which are all that Lua has, are exact to 2^53 only. So what is counted is kept as
-- decimal text, and added up in two halves where it is long. Times and single holds stay below 2^53 and are plain numbers.
-- Here and in what builds on it, what each step does avoids calls of functions that are written in C, `ipairs` and `pairs` with
-- them: each takes as long as ten lines of Lua.

local BILLION = 1000000000
local FULL = '9223372036854775807'

local function less(a, b)
  if #a < 16 and #b < 16 then return a + 0 < b + 0 end
  local below = a:byte() == 45
  if below ~= (b:byte() == 45) then return below end
  if below then return tonumber(a) < tonumber(b) end
  if #a ~= #b then return #a < #b end
  return a < b
end

local function halves(text)
  if #text < 16 then
    local value = tonumber(text)
    local high = math.floor(value / BILLION)
    return high, value - high * BILLION
  end
  local high, low = tonumber(text:sub(1, -10)), tonumber(text:sub(-9))
  return high, text:byte() == 45 and -low or low
end

local whole  -- how integers are written: in half of the time of others, unless the server's own are too short for it

local function text(number)
  if not whole then whole = string.format('%d', 2 ^ 53) == '9007199254740992' and '%d' or '%.0f' end
  return string.format(whole, number)
end

-- `a` as text, and `b` as text or a number; the sum as text, at most what 64 bits hold.
local function sum(a, b)
  if #a < 16 then
    local b = b + 0
    if b < 1e15 and b > -1e15 then return text(a + b) end
  end
  if type(b) == 'number' then b = text(b) end
  local high, low = halves(a)
  local more, rest = halves(b)
  high, low = high + more, low + rest
  local carry = math.floor(low / BILLION)
  high, low = high + carry, low - carry * BILLION
  if high < 9000000 then return text(high * BILLION + low) end
  local total = string.format('%.0f%09.0f', high, low)
  return less(FULL, total) and FULL or total
end
