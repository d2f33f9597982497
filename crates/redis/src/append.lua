-- Appends entries to the stream and trims it. KEYS: the stream. ARGV: how long an entry matters in
-- milliseconds, most entries, fields and values of an entry, then for each entry as many.
local key, keep, most, width = KEYS[1], tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - keep
local function append(from)
  return redis.pcall('XADD', key, 'MINID', '~', string.format('%.0f', oldest), '*',
    unpack(ARGV, from, from + width - 1))
end
for from = 4, #ARGV, width do
  local added = append(from)
  local why = type(added) == 'table' and added.err or ''
  if why:find('WRONGTYPE') or why:find('exhausted') or why:find('smaller') then
    -- Somebody wrote something else under our key, or used up the ids.
    redis.call('DEL', key)
    added = append(from)
  end
  if type(added) == 'table' and added.err then
    return added
  end
end
redis.call('XTRIM', key, 'MAXLEN', '~', most)
redis.call('PEXPIRE', key, string.format('%.0f', keep))
return 0
