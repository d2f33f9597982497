-- What a network registers, and what it learns by that, at all instances: two token buckets (GCRA).
-- Of each there is the moment at which it is full again, by Redis' clock, in microseconds.
--
-- KEYS: the network. ARGV: admit | told, then interval and burst of what is tried, and of what is
-- told. Admitting answers how long to wait, in milliseconds.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- Nothing is owed for longer than an empty bucket takes to fill: the clock of a master may be
-- behind his predecessor's.
local function bucket(field, at)
  local interval, burst = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local most = now + interval * burst
  local full = math.min(tonumber(redis.call('HGET', KEYS[1], field)) or 0, most)
  return { field = field, full = full, interval = interval, wait = full - now - interval * (burst - 1) }
end

local function take(of)
  local full = math.max(of.full, now) + of.interval
  redis.call('HSET', KEYS[1], of.field, string.format('%.0f', full))
  local left = math.ceil((full - now) / 1000) + 1
  if redis.call('PTTL', KEYS[1]) < left then
    redis.call('PEXPIRE', KEYS[1], string.format('%.0f', left))
  end
end

local tried, told = bucket('tried', 2), bucket('told', 4)
if ARGV[1] == 'told' then
  take(told)
  return 0
end
local wait = math.max(tried.wait, told.wait)
if wait > 0 then return math.ceil(wait / 1000) end
take(tried)
return 0
